// Package apikey makes and parses the text of API keys.
//
// A key reads qm_live_<id>_<secret>. Its owner sees the text once; the database keeps the id and the SHA-256 of the secret
// (provision.APIKey, internal/postgres). The API and the command line make keys, and the API checks them.
package apikey
