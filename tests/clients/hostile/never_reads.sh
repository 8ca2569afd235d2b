#!/bin/sh
# Leaves its standard input unread.
exec sleep 600
