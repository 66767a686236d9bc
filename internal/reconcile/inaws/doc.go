// Package inaws reads AWS accounts for the reconciler: their IAM users, aliases and contacts. It implements reconcile.Cloud on
// internal/awscloud, and only cmd/quartermaster uses it.
package inaws
