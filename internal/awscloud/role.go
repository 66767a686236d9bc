package awscloud

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

// assumeRole is the operation with which an account is entered.
const assumeRole = "AssumeRole"

// roleCredentials are the credentials of one session. They are renewed before they expire, and after AWS has called them
// expired.
type roleCredentials struct {
	assume func(context.Context) (aws.Credentials, error)
	within time.Duration // how long a renewal may take
	gate   *gate

	mu   sync.Mutex
	held aws.Credentials
}

func newRoleCredentials(within time.Duration, assume func(context.Context) (aws.Credentials, error)) *roleCredentials {
	return &roleCredentials{assume: assume, within: within, gate: newGate()}
}

// Retrieve returns the credentials that are held, or new ones. Its failure is a credentialsError: AssumeRole has been tried often
// enough, so a call that needed the credentials must not be repeated because of it.
func (c *roleCredentials) Retrieve(ctx context.Context) (aws.Credentials, error) {
	if held, ok := c.current(); ok {
		return held, nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.within)
	defer cancel()
	var got aws.Credentials
	err := c.gate.pass(ctx, func(ctx context.Context) (err error) {
		var ok bool
		if got, ok = c.current(); ok { // another call has renewed them
			return nil
		}
		if got, err = c.assume(ctx); err == nil {
			c.hold(got)
		}
		return err
	})
	if err != nil {
		return aws.Credentials{}, &credentialsError{err}
	}
	return got, nil
}

// current returns the credentials that are held, unless they expire soon.
func (c *roleCredentials) current() (held aws.Credentials, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.held, time.Until(c.held.Expires) > sessionMargin
}

func (c *roleCredentials) hold(creds aws.Credentials) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = creds
}

// Invalidate forgets the credentials.
func (c *roleCredentials) Invalidate() { c.hold(aws.Credentials{}) }

// credentialsError says that a call was not sent because the role could not be assumed.
type credentialsError struct{ error }

func (e *credentialsError) Unwrap() error { return e.error }

// assume assumes a role and returns its credentials, and the region whose STS gave them. STS can be switched off for an account in
// every region but us-east-1, so that is asked when the nearest one refuses.
// Source: AWS STS API Reference, AssumeRole, RegionDisabledException.
func (c *Cloud) assume(ctx context.Context, in *sts.AssumeRoleInput) (creds aws.Credentials, region string, err error) {
	client, region := c.sts, c.callerRegion()
	out, err := client.AssumeRole(ctx, in)
	if IsRegionDisabled(err) && region != HomeRegion {
		client, region = c.stsHome, HomeRegion
		out, err = client.AssumeRole(ctx, in)
	}
	if err != nil {
		return creds, region, err
	}
	if out.Credentials == nil {
		return creds, region, &smithy.OperationError{ServiceID: sts.ServiceID, OperationName: assumeRole,
			Err: &smithy.DeserializationError{Err: errors.New("the answer holds no credentials")}}
	}
	return aws.Credentials{
		AccessKeyID: aws.ToString(out.Credentials.AccessKeyId), SecretAccessKey: aws.ToString(out.Credentials.SecretAccessKey),
		SessionToken: aws.ToString(out.Credentials.SessionToken), CanExpire: true, Expires: aws.ToTime(out.Credentials.Expiration), Source: assumeRole,
	}, region, nil
}
