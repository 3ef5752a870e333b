"""The only code that tells people of a run: webhooks and commands of theirs."""
