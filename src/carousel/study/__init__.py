"""The lecture's claims as experiments."""

STUDIES = {
    "short-memory": "how far back do an RNN, a GRU and an LSTM of equal size remember?",
    "context-switch": "does the forget gate close where the story turns to another subject?",
    "going-back": "is the first subject still there when the story comes back to it?",
    "characters": "what does a character model of a book keep, for how long, in which units?",
}
"""The question that each study answers, by the study's name."""
