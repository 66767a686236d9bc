package controltest

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	namespacepb "go.temporal.io/api/namespace/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"quartermaster/workflows"
)

// Retention is for how long the namespace keeps closed workflows.
const Retention = 7 * 24 * time.Hour

// DescribeNamespace returns the retention.
func (f *Frontend) DescribeNamespace(context.Context,
	*workflowservice.DescribeNamespaceRequest) (*workflowservice.DescribeNamespaceResponse, error) {
	return &workflowservice.DescribeNamespaceResponse{
		Config: &namespacepb.NamespaceConfig{WorkflowExecutionRetentionTtl: durationpb.New(Retention)},
	}, nil
}

// Queue describes a task queue without a backlog, whose workers polled that long ago.
func Queue(polled ...time.Duration) *workflowservice.DescribeTaskQueueResponse {
	queue := &workflowservice.DescribeTaskQueueResponse{Stats: &taskqueuepb.TaskQueueStats{}}
	for _, ago := range polled {
		queue.Pollers = append(queue.Pollers, &taskqueuepb.PollerInfo{LastAccessTime: timestamppb.New(time.Now().Add(-ago))})
	}
	return queue
}

// DescribeTaskQueue describes the product's task queue.
func (f *Frontend) DescribeTaskQueue(_ context.Context,
	r *workflowservice.DescribeTaskQueueRequest) (*workflowservice.DescribeTaskQueueResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.Fail != nil:
		return nil, f.Fail
	case r.TaskQueue.Name != workflows.TaskQueue || !r.ReportStats:
		return nil, serviceerror.NewInvalidArgument("this request does not ask for the statistics of the product's task queue")
	}
	return f.Queues[r.TaskQueueType], nil
}

// ListSearchAttributes returns the search attributes, whether queries know them already or not.
func (f *Frontend) ListSearchAttributes(context.Context,
	*operatorservice.ListSearchAttributesRequest) (*operatorservice.ListSearchAttributesResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &operatorservice.ListSearchAttributesResponse{CustomAttributes: maps.Clone(f.Attributes)}, nil
}

// AddSearchAttributes adds search attributes.
func (f *Frontend) AddSearchAttributes(_ context.Context,
	r *operatorservice.AddSearchAttributesRequest) (*operatorservice.AddSearchAttributesResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.OperatorRefusal != nil {
		return nil, f.OperatorRefusal
	}
	maps.Copy(f.Attributes, r.SearchAttributes)
	return &operatorservice.AddSearchAttributesResponse{}, nil
}

// CountWorkflowExecutions counts the workflows that a query finds. It refuses a query for a search attribute that it does not know.
func (f *Frontend) CountWorkflowExecutions(_ context.Context,
	r *workflowservice.CountWorkflowExecutionsRequest) (*workflowservice.CountWorkflowExecutionsResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.VisibilityQueries = append(f.VisibilityQueries, r.Query)
	for name := range workflows.SearchAttributes() {
		if strings.Contains(r.Query, name+" = ") && (f.Hidden || f.Attributes[name] != enumspb.INDEXED_VALUE_TYPE_KEYWORD) {
			return nil, serviceerror.NewInvalidArgument("invalid query: invalid search attribute: " + name)
		}
	}
	return &workflowservice.CountWorkflowExecutionsResponse{Count: int64(len(f.sortedIDs(r.Query)))}, nil
}

// ListWorkflowExecutions lists the workflows that a query finds, page by page.
func (f *Frontend) ListWorkflowExecutions(_ context.Context,
	r *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.VisibilityQueries = append(f.VisibilityQueries, r.Query)
	size := int(r.PageSize)
	if f.PageSize > 0 {
		size = min(size, f.PageSize)
	}
	page := &workflowservice.ListWorkflowExecutionsResponse{}
	for _, id := range f.sortedIDs(r.Query) {
		switch {
		case id <= string(r.NextPageToken):
			continue
		case len(page.Executions) == size:
			page.NextPageToken = []byte(page.Executions[size-1].Execution.WorkflowId)
			return page, nil
		}
		page.Executions = append(page.Executions, f.Newest[id])
	}
	return page, nil
}

// matches reports whether a workflow is among those that a query finds. It knows the queries of package control: terms that are
// joined by AND. It panics on any other.
func matches(info *workflowpb.WorkflowExecutionInfo, query string) bool {
	for term := range strings.SplitSeq(query, " AND ") {
		field, condition, _ := strings.Cut(term, " ")
		operator, wanted, _ := strings.Cut(condition, " ")
		wanted = strings.Trim(wanted, "()")
		var has bool
		switch field {
		case "WorkflowType":
			has = wanted == quoted(info.GetType().GetName())
		case "WorkflowId":
			has = wanted == quoted(info.Execution.WorkflowId)
		case "ExecutionStatus":
			has = strings.Contains(wanted, quoted(info.Status.String()))
		case "StartTime":
			has = compare(info.StartTime, operator, wanted)
		case "CloseTime":
			has = compare(info.CloseTime, operator, wanted)
		default:
			var value string
			// An absent attribute leaves the value empty.
			_ = converter.GetDefaultDataConverter().FromPayload(info.GetSearchAttributes().GetIndexedFields()[field], &value)
			has = wanted == quoted(value)
		}
		if operator == "!=" {
			has = !has
		}
		if !has {
			return false
		}
	}
	return true
}

func quoted(text string) string { return "'" + text + "'" }

func compare(at *timestamppb.Timestamp, operator, limit string) bool {
	than, err := time.Parse("'"+time.RFC3339Nano+"'", limit)
	switch {
	case err != nil:
		panic(fmt.Sprintf("a query compares a time with %s", limit))
	case operator == "<":
		return at.AsTime().Before(than)
	}
	return at.AsTime().After(than)
}
