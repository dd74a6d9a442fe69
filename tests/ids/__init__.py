"""Which quirk, fault and threat is shown by which test: the catalogues, the scan of test names, the pages in docs/.

``python -m tests.ids`` prints the whole picture, see :mod:`tests.ids.__main__`.
"""
