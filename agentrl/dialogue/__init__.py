"""Between environment and model: prompts, memory, action formats, token ids."""
