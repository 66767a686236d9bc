// Package reconcile checks what must always hold and repairs what is safe to repair.
//
// It compares the rows of the database with each other, with Temporal's workflows and, on request, with AWS. Each
// contradiction is a Finding with a Kind, a Severity and advice for the operator. Reconciler.Find only reads;
// Reconciler.FindAndRepair also repairs a finding when one way to do so is certainly right, and leaves the others to an
// operator.
//
// The activity Reconcile (package activities) runs FindAndRepair every few minutes, and so does `quartermaster reconcile
// --repair`. internal/postgres reads the rows, workflows/control reads Temporal, and the package inaws reads AWS.
package reconcile
