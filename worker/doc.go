// Package worker registers the workflows (package workflows) and the activities (package activities) with Temporal, and runs them.
package worker
