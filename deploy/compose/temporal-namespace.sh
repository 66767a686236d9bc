#!/bin/sh
# Creates the namespace and its search attributes; safe to repeat. Connection: TEMPORAL_ADDRESS.
set -eu
temporal operator namespace describe -n default >/dev/null 2>&1 ||
    temporal operator namespace create -n default --retention 720h
known=$(temporal operator search-attribute list -n default)
for name in AccountID Marketplace Model OrderID Provider Reason State; do
    case $known in
        *"$name"*) ;;
        *) temporal operator search-attribute create -n default --name "$name" --type Keyword ;;
    esac
done
