//! Tests of brownout from outside.
mod brownout;
mod ci;
mod cli;
mod clients;
mod drive;
mod init;
mod invalid;
mod library;
mod matrix;
mod rust_clients;
mod scenarios;
mod search;
mod speed;
mod strategy;
mod tidy;
mod virtual_time;
mod wire;
