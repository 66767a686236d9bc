package control

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/temporal"

	"quartermaster/activities"
	"quartermaster/internal/provision"
	"quartermaster/internal/reconcile"
	"quartermaster/workflows"
)

// Story reads from the history of a run how its order was placed and corrected, which settings it had, and how it ended. Errors:
// reconcile.ErrSealed when this process lacks the key that sealed the history.
func (r Runs) Story(ctx context.Context, key provision.OrderKey, run reconcile.Run) (reconcile.Story, error) {
	read := storyReader{runs: r, activities: map[int64]string{}}
	err := r.eachEvent(ctx, key, run, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT, read.add)
	return read.story, err
}

// storyReader reads a story event by event.
type storyReader struct {
	runs       Runs
	story      reconcile.Story
	activities map[int64]string // the names of the activities, by the event that scheduled them
}

// add adds to the story what an event says about the order.
func (s *storyReader) add(event *historypb.HistoryEvent) error {
	switch event.EventType {
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
		err := s.open(event.GetWorkflowExecutionStartedEventAttributes().GetInput(), &s.story.Order)
		s.story.Requests = []provision.Request{s.story.Order.Request}
		return err
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED:
		update := event.GetWorkflowExecutionUpdateAcceptedEventAttributes().GetAcceptedRequest().GetInput()
		if update.GetName() != workflows.UpdateCorrect {
			return nil
		}
		var correction workflows.Correction
		err := s.open(update.GetArgs(), &correction)
		s.story.Requests = append(s.story.Requests, correction.Fields.Apply(s.story.Requests[len(s.story.Requests)-1]))
		return err
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
		s.activities[event.EventId] = event.GetActivityTaskScheduledEventAttributes().GetActivityType().GetName()
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
		completed := event.GetActivityTaskCompletedEventAttributes()
		return s.addSettings(s.activities[completed.GetScheduledEventId()], completed.GetResult())
	case enumspb.EVENT_TYPE_MARKER_RECORDED:
		details := event.GetMarkerRecordedEventAttributes().GetDetails()
		var local struct{ ActivityType string } // as the SDK writes it for a local activity
		if details["data"] == nil || details["result"] == nil {
			return nil
		}
		if err := s.open(details["data"], &local); err != nil {
			return err
		}
		return s.addSettings(local.ActivityType, details["result"])
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
		s.story.Result = &provision.Result{}
		return s.open(event.GetWorkflowExecutionCompletedEventAttributes().GetResult(), s.story.Result)
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
		var failure provision.Failure
		failed := s.runs.failures.FailureToError(event.GetWorkflowExecutionFailedEventAttributes().GetFailure())
		if app, ok := errors.AsType[*temporal.ApplicationError](failed); ok && app.HasDetails() && app.Details(&failure) == nil &&
			failure.Code != "" {
			s.story.Failure = &failure
		}
	}
	return nil
}

// addSettings adds the settings that an activity returned, if they differ from those before.
func (s *storyReader) addSettings(activity string, result *commonpb.Payloads) error {
	var settings provision.PoolSettings
	switch activity {
	case workflows.OpenOrderName:
		var opened activities.Opened
		if err := s.open(result, &opened); err != nil {
			return err
		}
		if opened.State.Ended() {
			return nil
		}
		settings = opened.Settings
	case workflows.RereadSettingsName:
		if err := s.open(result, &settings); err != nil {
			return err
		}
	default:
		return nil
	}
	if last := len(s.story.Settings) - 1; last < 0 || !reflect.DeepEqual(s.story.Settings[last], settings) {
		s.story.Settings = append(s.story.Settings, settings)
	}
	return nil
}

func (s *storyReader) open(payloads *commonpb.Payloads, into any) error {
	if err := s.runs.payloads.FromPayloads(payloads, into); err != nil {
		return fmt.Errorf("%w: %w", reconcile.ErrSealed, err)
	}
	return nil
}
