// Package secrets seals what must stay unreadable on a stolen disk: passwords and webhook secrets in the database, and the
// payloads of Temporal. It uses AES-256-GCM with a ring of named keys. Every key of the ring opens what it sealed; the key that
// seals is the first that every running process has. To rotate, put a new key in front, and remove the old one when nothing
// needs it any more.
//
// Ring.Join makes a process follow the others, RotationOf describes how far a rotation is, and Converters connect the ring to
// Temporal's SDK. internal/postgres stores what is sealed, without the keys.
package secrets
