// Package iam contains the AWS policies that Quartermaster ships: the permissions and the trust policy of the role in a pool account,
// the policy of the service's own identity, and the policy of a cost report's bucket.
//
// The JSON files in this directory are the originals, with placeholders such as ${ACCOUNT}, which the functions replace. The command
// `quartermaster accounts role` prints the role's policies; package activities writes the bucket policy; package awssim gives the
// role of each simulated account the shipped policy, so every test proves that it grants what an order needs.
package iam
