"""Statements: what each theorem says, under which assumptions, from which source."""
