//! The shell of IO around the provider: clock, wire, server.
