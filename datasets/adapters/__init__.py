"""One module a set: where its publisher puts what, and what that says of each clip."""
