"""How others hear of audit records: a web hook, a command. What they hear is made here, when and whether is not."""
