"""Mutants of the built-in codecs: what each got wrong, and the case that says so."""

from .b2trader import MUTANTS as OF_B2TRADER
from .dmex import MUTANTS as OF_DMEX
from .qfex import MUTANTS as OF_QFEX

MUTANTS = (*OF_QFEX, *OF_B2TRADER, *OF_DMEX)
