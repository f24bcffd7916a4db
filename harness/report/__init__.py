"""The stored results as one page of HTML, and a server that follows a run."""
