// Package iampolicy evaluates IAM policy documents as far as that is possible without a request: actions, resources, and the variable
// for the user's name. If the answer depends on a condition, it is Unknown.
//
// Package activities uses it to find out whether a customer can choose a password at the first sign-in, before it changes anything.
// The simulator in package awssim has an evaluator of its own, so that tests compare two implementations.
package iampolicy
