"""What is served over HTTP for those who watch: metrics and health. Nothing here can be changed from outside."""
