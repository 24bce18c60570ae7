"""Making the small base policy: a tokenizer and a model cloned from expert episodes.

The shipped `tiny` policy plays the part that a downloaded LLM plays on a GPU; `agentrl pretrain`
is the command that made it.
"""
