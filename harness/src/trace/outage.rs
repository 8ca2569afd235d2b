//! Outages: windows of time in which a rule with an ending struck without fail.
