//! The API file as its author writes it.
