"""What people type and see. One file per group of commands; no rule of the product is decided here."""
