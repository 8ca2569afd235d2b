//! Tests of brownout from outside.
mod brownout;
mod clients;
mod invalid;
mod scenarios;
