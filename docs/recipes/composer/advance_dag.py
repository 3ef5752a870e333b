"""A round every quarter of an hour; what hangs below the task runs once the run has settled."""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow import DAG
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.secret import Secret

with DAG(
    dag_id="reembed_archive",
    schedule="*/15 * * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    # A repeat right after a failure meets the same; the next round is soon enough.
    default_args={"retries": 0, "execution_timeout": timedelta(hours=2)},
):
    KubernetesPodOperator(
        task_id="advance",
        name="reembed-advance",
        namespace="composer-user-workloads",
        config_file="/home/airflow/composer_kube_config",
        kubernetes_conn_id="kubernetes_default",
        image="europe-west4-docker.pkg.dev/your-project/reembed/reembed:0.2.0",
        cmds=["reembed"],
        arguments=["advance", "/config/archive.yaml"],
        env_vars={"REEMBED_LOG_FORMAT": "json"},
        secrets=[
            Secret("env", "GEMINI_API_KEY", "gemini-api-key", "key"),
            # Its key is `archive.yaml`, its value the configuration.
            Secret("volume", "/config", "reembed-archive-config"),
        ],
        # "Come again": the task is skipped, neither red nor green, and so is what hangs below it.
        skip_on_exit_code=75,
        get_logs=True,
    )
