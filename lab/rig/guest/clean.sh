#!/bin/bash
# usage: clean.sh NAME_PREFIX OUTPUT_FOLDER
# Removes the containers and volumes of a cell, and empties the folder of its output.
docker ps -aq --filter name="^/$1" | xargs -r docker rm -f -v >/dev/null
docker volume ls -q --filter name="^$1" | xargs -r docker volume rm -f >/dev/null
rm -rf --one-file-system "$2"; mkdir -p "$2"
