// Package activities does what the workflows decide: it changes AWS accounts and calls the database.
//
// Each AWS resource has a file with its step and its undo: user.go, signin.go, contacts.go, alias.go, report.go, and bucket.go.
// A step ensures its result: it looks first, creates what is missing, and adopts what exists only if it carries the order's nonce
// (ownership.go). An undo is safe even when the step never happened. Both run through step.go, which asks the database whether the
// order holds the account now. The activities of order.go and leftovers.go use only the database.
//
// errors.go decides what is retried. Package awscloud provides the AWS clients; package workflows calls the activities.
package activities
