// Package stockcsv reads and writes the accounts of a pool as CSV (RFC 4180). An import is read row by row, and every fault of a
// row is reported. An export is safe to open in a spreadsheet, and can be imported again.
//
// It knows only files: internal/postgres stores the accounts, the API and the command line upload and download the files.
package stockcsv
