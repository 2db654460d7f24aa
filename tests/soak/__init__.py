"""An hour of the service with everything against it: `make soak MINUTES=60`. No part of `make test`."""
