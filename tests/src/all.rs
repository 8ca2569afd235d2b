//! Tests of brownout from outside.
