"""The embedded engine's parts: a key-value pool, forward passes over it, sampling, scheduling.

Scheduler        admits requests, cuts their ids into chunks, samples, answers
  SlotTable      which slot of the pool holds whose ids
  FlatForward    one pass over the chunks of many sequences, laid end to end
  PaddedForward  the same for models that bring their own attention
  KeyValuePool   keys and values of all slots
"""
