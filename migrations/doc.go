// Package migrations holds the schema of the database as numbered SQL files and brings a database up to it.
//
// A file is named <version>_<subject>.sql. Until version 0.1.0 the files are edited in place. From then on a released file
// never changes: the next change is a new file with the next number.
package migrations
