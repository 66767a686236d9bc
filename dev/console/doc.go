// Package console tests the operators' console in a real browser: what a person does, whether assistive technology can use it, and how
// it looks. The pages are those of package quartermaster/console over a real API and PostgreSQL; only Temporal and AWS are played.
//
// CONSOLE_PICTURES=folder makes the tests keep a picture of every page that they look at.
package console
