"""The fault table: what each venue, command and fault must come to, by the rules of docs/outcomes.md."""
