"""The long series: what was promised of txigd, measured again and again on the real router or on a simulated clock."""
