//! Tests of brownout from outside.
mod brownout;
mod clients;
mod drive;
mod invalid;
mod scenarios;
