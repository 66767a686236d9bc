// Package arch holds the rules of the repository's structure, as tests: which package may import which, that imports point down,
// where files are, and how long they may be.
package arch
