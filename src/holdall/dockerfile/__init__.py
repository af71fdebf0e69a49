"""The Dockerfile language as pure functions: text → lines → nodes → typed instructions → stages, expansion, checks."""
