#!/bin/sh
# Answers its first operation and leaves the others behind.
read -r line
echo '{"id":"op-0001","outcome":"succeeded"}'
exit 3
