"""A bridge to a mailbox: IMAP in, SMTP out."""
