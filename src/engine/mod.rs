//! BuildKit daemons: addresses, connections, sessions, solves, and private engines.
