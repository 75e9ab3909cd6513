"""Commands as jobs of AWS IoT: whether a device speaks so. All else is the ledger's of jobs."""

from appliance.commands.dialects.dialect import Wanted, Wire
from appliance.commands.jobs import topics
from appliance.commands.jobs.topics import Api, JobAddress
from appliance.commands.model import Command, DialectName


class AsJob:
    """The dialect of devices that ask for jobs."""

    name = DialectName.JOBS

    def wire(self, command: Command, wants: Wanted) -> Wire | None:
        """Where the device would hear of it; None where it has subscribed to nothing about its jobs."""
        device_id = command.device_id
        asked = JobAddress(device_id, Api.START_NEXT).answered(is_accepted=True)
        listed = JobAddress(device_id, Api.GET).answered(is_accepted=True)
        for topic in (topics.notify_next(device_id), topics.notify(device_id), asked, listed):
            if wants(topic):
                return Wire(topic, b"")
        return None
