"""How the policy's weights reach the servers; one file per way."""
