//! How the judge judges.
