package provision

import (
	"errors"
	"regexp"
	"strings"
	"time"
)

// WorkerIdentity is the identity in AWS that a worker has reported.
type WorkerIdentity struct {
	ARN        string    `db:"arn"` // as GetCallerIdentity returns it
	ReportedAt time.Time `db:"reported_at"`
}

var principalPattern = regexp.MustCompile(`^arn:aws:iam::[0-9]{12}:(role|user)/[\w+=,.@/-]{1,512}$`)

// ValidatePrincipal checks an ARN that trust policies shall name. They name a role, never a session of it.
func ValidatePrincipal(arn string) error {
	switch role, session := sessionRole(arn); {
	case session:
		return errors.New(arn + " is a session of a role: name the role itself, " + role + ", with its path if it has one")
	case !principalPattern.MatchString(arn):
		return errors.New(arn + " is not a role or user: write it as arn:aws:iam::<account id>:role/<name>")
	}
	return nil
}

// Principal returns the role or user that trust policies must name, and whether that is a guess: the ARN of a session leaves out
// the path of its role. It returns "" for an identity that no trust policy should name, such as a root user.
func (w WorkerIdentity) Principal() (arn string, guessed bool) {
	if role, session := sessionRole(w.ARN); session {
		return role, true
	}
	if principalPattern.MatchString(w.ARN) {
		return w.ARN, false
	}
	return "", false
}

// sessionRole returns the role, without its path, of the ARN of a session.
func sessionRole(arn string) (role string, session bool) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[2] != "sts" || !strings.HasPrefix(parts[5], "assumed-role/") {
		return "", false
	}
	name := strings.SplitN(parts[5], "/", 3)[1]
	return "arn:" + parts[1] + ":iam::" + parts[4] + ":role/" + name, true
}
