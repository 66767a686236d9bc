// Package health answers the question "is anything stuck?" for one provider: whether PostgreSQL, Temporal, the workers, the schedules
// and the reconciler are well, and which of the provider's pools, webhooks and API keys need someone.
//
// Examiner.Examine makes all checks at once, each within a time limit, so that a part which does not answer costs one line of the
// report and nothing else.
package health
