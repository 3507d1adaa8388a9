"""Writers of schedules. Each file is written completely or not at all."""

from deepsched.baselines.writers.chrome_trace import write_trace
from deepsched.baselines.writers.csv_table import write_csv
from deepsched.baselines.writers.dot import write_dot
from deepsched.baselines.writers.gantt import write_gantt
from deepsched.baselines.writers.json_document import write_json
from deepsched.baselines.writers.node_link import write_node_link
from deepsched.baselines.writers.svg import write_svg
from deepsched.baselines.writers.wfformat import write_wfformat

__all__ = [
    "write_csv",
    "write_dot",
    "write_gantt",
    "write_json",
    "write_node_link",
    "write_svg",
    "write_trace",
    "write_wfformat",
]
