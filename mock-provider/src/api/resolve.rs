//! From the file to the API.
